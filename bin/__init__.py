"""The commands behind the Makefile, and how processes are started so that none is left behind."""
