"""What a worker does for the demo."""

from trackside.runtime import Runtime
from trackside_modules.support.demo.contexts import freeze


def freeze_contexts(runtime: Runtime) -> None:
    """Freeze the contexts of the demo's past; nothing where they are there."""
    freeze(runtime)
