"""A run at a moment: what lies in its folder is looked at once, however often it is asked for."""

from dataclasses import dataclass, field, fields

from mr_assets.loop import Place
from mr_assets.runs.record import Record
from mr_assets.runs.run import Run


@dataclass(frozen=True)
class Snapshot(Run):
    """A run whose records are read once, so that all that is asked of it is of one moment."""

    records: dict[Place, Record | None] = field(default_factory=dict, compare=False, repr=False)
    damages: dict[Place, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, run: Run) -> "Snapshot":
        """The run as it is now."""
        return cls(**{each.name: getattr(run, each.name) for each in fields(Run)})

    def record(self, asset: str, partition: str | None = None) -> Record | None:
        """The record of an artifact; None if it is not complete."""
        place = (asset, partition)
        if place not in self.records:
            self.records[place] = super().record(*place)
        return self.records[place]

    def damage(self, asset: str, partition: str | None = None, *, content: bool = False) -> str:
        """What is wrong with the files of an artifact, in words; "" if nothing is."""
        if content:
            return super().damage(asset, partition, content=True)
        place = (asset, partition)
        if place not in self.damages:
            self.damages[place] = super().damage(*place)
        return self.damages[place]
