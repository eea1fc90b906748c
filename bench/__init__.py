"""Load tests beside other servers, memory checks and call counts; see README.md here."""
