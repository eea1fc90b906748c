"""The error log, the access log, and metrics."""
