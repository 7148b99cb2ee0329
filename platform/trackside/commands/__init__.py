"""The kernel's own commands, a file each."""
