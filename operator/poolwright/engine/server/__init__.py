"""The engine's HTTP server: the OpenAI API in front of an ``EngineCore``; text is its business, tensors are not."""
