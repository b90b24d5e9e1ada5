"""The life of a camera step by step, with the peak of the process's memory after each; its text is given to Python with -c."""


def main() -> None:
    """Command line: the arguments of the steps as JSON. Prints the peaks, bytes, and the subject."""
    import json
    import sys

    peaks: dict[str, int] = {}

    def done(step: str) -> None:
        with open("/proc/self/status") as file:  # noqa: PTH123  # pathlib would be part of the baseline
            peaks[step] = next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM:"))

    arguments = json.loads(sys.argv[1])
    import numpy

    numpy.ones((64, 64)) @ numpy.ones((64, 64))  # the linear algebra library takes its memory when it is first used
    done("baseline")
    import edgetl
    import edgetl.embedding.embedder  # loaded by the first call that needs it, which would count as opening

    done("import")
    names = {"variant": arguments["variant"], "threads": arguments["threads"]}
    with edgetl.Classifier.open(arguments["bundle"], arguments["store"], **names) as classifier:
        done("open")
        for photo in arguments["photos"]:
            classifier.predict(photo)
        done("predict")
        classifier.add_many([(photo, "a new class") for photo in arguments["new"]])
        classifier.train()
        done("learn")

        # Only now: what the bench imports is no part of a life.
        from edgetl.bench.measuring.stand import subject
        from edgetl.types import to_json

        assert classifier.embedder is not None, "it was opened with a bundle"
        print(json.dumps({"peaks": peaks, "subject": to_json(subject(classifier.embedder))}))


if __name__ == "__main__":
    main()
