"""A replica with the real engine that notes what it samples: `python -m mr_assets_tests.sampling.logged_replica FD`."""

from mr_assets.sampling import replica
from mr_assets.sampling.engine import Request, VLLMSampler
from mr_assets.sampling.settings import SamplingSettings
from mr_assets_tests.sampling.fake_replica import note


class Logged(VLLMSampler):
    """The engine; what it is given to sample is in requests.log of the working folder."""

    def add(self, request: Request, settings: SamplingSettings) -> None:
        note(request)
        super().add(request, settings)


if __name__ == "__main__":
    replica.VLLMSampler = Logged  # type: ignore[attr-defined]
    replica.main()
