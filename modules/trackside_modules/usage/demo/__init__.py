"""The demo's part in usage: 90 days of calls put there in seconds, and all of it taken away again."""
