"""Runs one of the folder's drivers that must start the server by itself, to see its log and its processes.

    python peer.py FOLDER KIND TEMPLATE DRIVER ARGUMENTS...

Their table of servers can be added to from the environment, but not for all of them: it is added to here. TEMPLATE is
the server's command line with {host}, {port} and {app} in it; KIND is asgi or wsgi.
"""

import importlib
import runpy
import sys

folder, kind, template, driver, *arguments = sys.argv[1:]
sys.path.insert(0, folder)
importlib.import_module("peers").ALL["pyserve"] = (kind, template)
sys.argv[:] = [driver, "--peer", "pyserve", *arguments]
runpy.run_path(f"{folder}/{driver}", run_name="__main__")
