"""Loads a variant step by step, reads the clock after each, and prints what each step took and which files were read."""

from time import perf_counter_ns as clock

STARTED = clock()


def main() -> None:
    """Command line: bundle, variant, threads, when the process was started (0: not known); times are nanoseconds."""
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
    files = bundle.model(variant)
    read = clock()
    load_library(variant.family)
    library = clock()
    runtime = open_runtime(variant.family, files, json.loads(threads))
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

    disk = resource.getrusage(resource.RUSAGE_SELF).ru_inblock * 512
    from edgetl.bench.measuring.subject import subject
    from edgetl.types import to_json

    stages = {
        "start": STARTED - int(spawned) if int(spawned) else None,
        "import": imported - STARTED,
        "read": read - begun,
        "library": library - read,
        "open": opened - library,
        "prove": ready - opened + proved - inferred,
    }
    opened_as = to_json(subject(embedder))
    print(json.dumps({"stages": stages, "first": inferred - ready, "disk": disk, "files": files_read(), "subject": opened_as}))


def files_read() -> list[str]:
    """The files that this process has mapped, and those of its modules."""
    import sys
    from pathlib import Path

    maps = Path("/proc/self/maps")  # only Linux has it
    lines = maps.read_text().splitlines() if maps.exists() else []
    paths = {words[5] for line in lines if len(words := line.split(None, 5)) > 5 and words[5].startswith("/")}
    for module in list(sys.modules.values()):
        # Where there is compiled code, the source is only asked for its date.
        path = getattr(module, "__cached__", None) or getattr(module, "__file__", None)
        paths.update([path] if path else [])
    return sorted(paths)


if __name__ == "__main__":
    main()
