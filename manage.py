#!/usr/bin/env python
"""Django's command-line utility."""

import os
import sys

from django.core.management import execute_from_command_line

from costrouter.starts import words

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costrouter.settings")
    try:
        execute_from_command_line(sys.argv)
    except Exception as error:  # a setting, say: its words say which, and where it stands is no help
        if "--traceback" in sys.argv or not words(error):
            raise
        sys.exit(f"manage.py: {words(error)}")
