"""Bytes to requests and responses to bytes: never waits, knows no socket, no clock and no event loop."""
