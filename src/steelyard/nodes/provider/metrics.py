"""What a provider counts, for Prometheus."""

from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge


class Metrics:
    """Counters of one provider, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.units = self._counter("units", "Units generated")
        self.receipts = self._counter("receipts", "Receipts signed")
        self.vouchers = self._counter("vouchers", "Vouchers taken")
        self._failures = Counter(
            "steelyard_provider_refusals", "Orders without a receipt, by rule", ["rule"], registry=self.registry
        )

    def _counter(self, name: str, about: str) -> Counter:
        return Counter(f"steelyard_provider_{name}", about, registry=self.registry)

    def failed(self, rule: str) -> None:
        """An order was refused, or ended without a receipt."""
        self._failures.labels(rule).inc()

    def watch_engine(self, measures: Callable[[], Mapping[str, int]]) -> None:
        """What the engine says of itself, looked up when somebody asks."""
        for name in measures():
            gauge = Gauge(f"steelyard_engine_{name}", name.replace("_", " "), registry=self.registry)
            gauge.set_function(partial(_measure, measures, name))

    def watch(self, running: Callable[[], float], vouched: Callable[[], float]) -> None:
        """What is looked up when somebody asks."""
        for name, about, look in (
            ("running", "Orders in flight", running),
            ("vouched_micro_tokens", "Promised by vouchers", vouched),
        ):
            Gauge(f"steelyard_provider_{name}", about, registry=self.registry).set_function(look)


def _measure(measures: Callable[[], Mapping[str, int]], name: str) -> float:
    return measures()[name]
