"""Lives a camera's life step by step, and waits after each until the parent has looked at its memory."""


def main() -> None:
    """Command line: the steps' arguments as JSON."""
    import json
    import sys

    def done(step: str) -> None:
        print(step, flush=True)
        if not sys.stdin.readline():
            raise SystemExit("the bench that measured this process has gone")

    told = json.loads(sys.argv[1])
    import numpy

    numpy.ones((64, 64)) @ numpy.ones((64, 64))  # the linear algebra library takes its memory when it is first used
    done("baseline")
    import edgetl
    import edgetl.embedding.embedder  # loaded by the first call that needs it, which would count as opening

    done("import")
    with edgetl.Classifier.open(told["bundle"], told["store"], variant=told["variant"], threads=told["threads"]) as shop:
        done("open")
        for photo in told["photos"]:
            shop.predict(photo)
        done("predict")
        shop.add_many([(photo, "a new class") for photo in told["lessons"]])
        shop.train()
        done("learn")

        # Only now: what the bench imports is no part of a life.
        from edgetl.bench.measuring.subject import subject
        from edgetl.types import to_json

        assert shop.embedder is not None, "it was opened with a bundle"
        print(json.dumps(to_json(subject(shop.embedder))))


if __name__ == "__main__":
    main()
