"""Cut the faces out of millions of portraits on a Dask cluster.

    dask scheduler                                                        prints its address
    dask worker tcp://127.0.0.1:8786 --nworkers 2 --nthreads 1            on every machine
    face18 crop-shards photographs/ --cluster tcp://127.0.0.1:8786 --out crops/
    face18 crop-shards 's3://bucket/shards/*.tar' --cluster tcp://10.0.0.5:8786 --out s3://bucket/crops

Crops are those of `face18 crop`, as JPEG in the column `crop` of Parquet files, except that the crop of an image
without a face is cut at one usual place: it may not depend on other images.
"""

from dataclasses import dataclass

import tyro

from shared.commands import run
from shared.messages import UserError, counted


@dataclass(frozen=True)
class Options:
    """Cut the faces out of millions of portraits on a Dask cluster. Continues where an earlier run stopped."""

    sources: tyro.conf.Positional[tuple[str, ...]] = ()
    """Folders of images, lists of images (.txt, a line each), shards (.tar), or patterns of them; paths or addresses,
    such as s3://bucket/photos."""

    cluster: str | None = None
    """Address of a Dask scheduler, such as tcp://127.0.0.1:8786."""

    out: str = "crops-parquet"
    """Folder or address for the Parquet files; every worker must reach it."""

    part_size: int = 1000
    """Image files in a part; a shard is always one part."""

    def __post_init__(self) -> None:
        if self.part_size < 1:
            raise UserError(f"--part-size {self.part_size}: must be at least 1")


def main(options: Options) -> None:
    """Crop all images on the cluster."""
    if not options.cluster or not options.sources:
        raise UserError("name images, and a Dask scheduler with --cluster; face18 crop does without a cluster")
    try:
        from shared.cluster import CropJob, run_job
    except ImportError as error:
        raise UserError(f"--cluster needs dask: pip install 'face18[cluster]' ({error})") from error
    total = run_job(CropJob(), options.sources, options.out, options.cluster, options.part_size)
    print(f"{options.out}: crops of {counted(total.images, 'image')}, {total.failed:,} of them without: see `problem`")


if __name__ == "__main__":
    run(main, Options())
