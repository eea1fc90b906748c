"""The async worker: one event loop."""
