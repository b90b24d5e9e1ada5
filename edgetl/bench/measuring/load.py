"""Loads a variant step by step, with the time of each; its text is given to Python with -c."""

from time import perf_counter_ns as clock

STARTED = clock()


def main() -> None:
    """Command line: bundle, variant, threads, when the process was started (0: unknown). Prints nanoseconds, files read and the subject."""
    import edgetl
    from edgetl.embedding.embedder import Embedder
    from edgetl.runtimes import load_library, open_runtime

    imported = clock()
    import json
    import sys

    path, name, threads, spawned = sys.argv[1:]
    begun = clock()
    bundle = edgetl.Bundle.open(path)
    variant = bundle.variant(name)
    model = bundle.model(variant)
    read = clock()
    load_library(variant.family)
    library = clock()
    runtime = open_runtime(variant.family, model, json.loads(threads))
    opened = clock()
    test = bundle.self_test(variant)
    ready = clock()
    runtime.embed(test.tensors[:1])
    inferred = clock()
    embedder = Embedder(bundle, variant, runtime)
    embedder.run_self_test(test)
    proved = clock()

    # Only now: what the bench imports is no part of a load.
    import resource

    from edgetl.bench.measuring.stand import subject
    from edgetl.types import to_json

    stages = {
        "start": STARTED - int(spawned) if int(spawned) else None,
        "import": imported - STARTED,
        "read": read - begun,
        "library": library - read,
        "open": opened - library,
        "prove": ready - opened + proved - inferred,
    }
    disk = resource.getrusage(resource.RUSAGE_SELF).ru_inblock * 512
    measured = {"stages": stages, "first": inferred - ready, "disk": disk, "subject": to_json(subject(embedder))}
    print(json.dumps({**measured, "files": files_read()}))


def files_read() -> list[str]:
    """The files that this process has mapped, and those of its modules: with compiled code, of the source only the date is read."""
    import sys
    from pathlib import Path

    maps = Path("/proc/self/maps")  # only Linux has it
    lines = maps.read_text().splitlines() if maps.exists() else []
    files = {words[5] for line in lines if len(words := line.split(None, 5)) > 5 and words[5].startswith("/")}
    files |= {getattr(module, "__cached__", None) or getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
    return sorted(files - {""})


if __name__ == "__main__":
    main()
