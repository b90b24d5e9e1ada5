"""What is swept: variants x threads x providers."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from edgetl import machine
from edgetl.bench.measuring.job import Job
from edgetl.bundle.bundle import Bundle
from edgetl.errors import BenchError
from edgetl.runtimes.providers import PROVIDERS, where


@dataclasses.dataclass(frozen=True)
class Configuration:
    """One way to run a bundle.

    Attributes:
        variant: the variant's name.
        threads: of the runtime, count.
        provider: execution provider or delegate; None is the runtime's own.
    """

    variant: str
    threads: int
    provider: str | None

    @property
    def name(self) -> str:
        """What it is called before anything could be opened."""
        return f"{self.variant}{f' {self.provider}' if self.provider else ''} {self.threads} thread{'s' if self.threads != 1 else ''}"

    def job(self, job: Job, **changed: Any) -> Job:
        """A job with this configuration in it."""
        return dataclasses.replace(job, variant=self.variant, threads=self.threads, provider=self.provider, **changed)


def configurations(
    bundle: Bundle, variants: Sequence[str] | None, threads: Sequence[int] | None, providers: Sequence[str] | None
) -> list[Configuration]:
    """Every combination of what was asked for; each threads count and provider once.

    Raises:
        BundleMissing: the bundle has no such variant.
        BenchError: no runtime knows such a provider.
    """
    for provider in providers or ():
        if not any(provider in known for known in PROVIDERS.values()):
            raise BenchError(f"no provider {provider!r}: {where(provider)}")
    names = [bundle.variant(name).name for name in variants] if variants is not None else list(bundle.variants)
    counts = dict.fromkeys(threads or [min(4, machine.cores())])
    asked: list[str | None] = list(dict.fromkeys(providers)) if providers else [None]
    return [Configuration(*one) for one in itertools.product(names, counts, asked)]
