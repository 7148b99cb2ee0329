"""What tests of Trackside and of its modules share: a pytest plugin, found by its entry point."""
