"""`trackside stream`: server-sent events for members' browsers, thousands of idle ones on one process."""
