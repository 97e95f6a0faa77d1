"""Condition types of a pool, and the reasons that only the controller gives; decisions bring ``planner.reason.Reason``.

Only ever added to.
"""

from enum import StrEnum


class ConditionType(StrEnum):
    """What a condition claims."""

    ACCEPTED = "Accepted"
    """The spec can be acted on."""
    READY = "Ready"
    """Every replica wanted serves."""
    PROGRESSING = "Progressing"
    """Replicas are on their way."""
    OBJECTIVES_MET = "ObjectivesMet"
    """The plan is expected to meet every objective."""
    CAPACITY_LIMITED = "CapacityLimited"
    """Bounds, quotas or missing accelerators keep the pool smaller than its load wants."""
    BUDGET_LIMITED = "BudgetLimited"
    """The budget does."""
    METRICS_STALE = "MetricsStale"
    """Signals are missing: capacity is held."""
    MODEL_DRIFT = "ModelDrift"
    """What is seen and what is predicted have parted."""
    SCALER_CONFLICT = "ScalerConflict"
    """Somebody else writes fields that the pool owns."""


class ControllerReason(StrEnum):
    """Reasons that come from the controller and not from planning."""

    AS_PLANNED = "AsPlanned"
    INVALID_SPEC = "InvalidSpec"
    FORBIDDEN = "Forbidden"
    API_ERROR = "APIError"
    FIELD_CONFLICT = "FieldConflict"
    REPLICAS_READY = "ReplicasReady"
    REPLICAS_STARTING = "ReplicasStarting"
    UNSCHEDULABLE = "Unschedulable"
    RECOMMEND_ONLY = "RecommendOnly"
    SIGNALS_PRESENT = "SignalsPresent"
    SIGNALS_MISSING = "SignalsMissing"
    WITHIN_TOLERANCE = "WithinTolerance"
    PREDICTION_OFF = "PredictionOff"
    NOT_OBSERVED = "NotObserved"
