"""The sync worker: threads that serve from one shared epoll."""
