"""The command line and the master process: it waits for processes."""
