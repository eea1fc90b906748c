"""The processes that serve: they wait for sockets and for the application."""
