"""What pages, API and commands read of flags."""
