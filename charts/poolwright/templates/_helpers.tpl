{{/* Values that are each allowed by the schema and make no sense together. */}}
{{- define "poolwright.refusals" -}}
{{- if and .Values.clusterWide .Values.watchNamespaces -}}
{{- fail (printf "clusterWide is true and watchNamespaces names %s: state one" (join ", " .Values.watchNamespaces)) -}}
{{- end -}}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) -}}
{{- fail "serviceAccount.name is empty and serviceAccount.create is false: name the ServiceAccount that exists" -}}
{{- end -}}
{{- end -}}

{{- define "poolwright.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "poolwright.serviceAccountName" -}}
{{- default (include "poolwright.name" .) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "poolwright.labels" -}}
app.kubernetes.io/name: poolwright
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "poolwright.selector" -}}
app.kubernetes.io/name: poolwright
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "poolwright.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* Namespaces watched, as a JSON list: the release's own where none is named. */}}
{{- define "poolwright.namespaces" -}}
{{- default (list .Release.Namespace) .Values.watchNamespaces | toJson -}}
{{- end -}}

{{/* Rights on the namespaced things that reconciling needs: no secrets, no pod creation, no wildcard. */}}
{{- define "poolwright.namespacedRules" -}}
- apiGroups: [poolwright.io]
  resources: [inferencepools]
  verbs: [list, watch]
- apiGroups: [poolwright.io]
  resources: [inferencepools/status]
  verbs: [patch]
# Owner references that block deletion need this where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [poolwright.io]
  resources: [inferencepools/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, create, patch, delete]
{{- if .Values.podMonitor.enabled }}
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [get, list, create, patch, delete]
{{- end }}
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# The namespace's own labels choose the FleetPolicy that governs it.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}
