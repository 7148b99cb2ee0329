"""The modules that come with Trackside; each is one folder and talks to the others only through the kernel."""
