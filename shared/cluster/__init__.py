"""Millions of images on a Dask cluster: `face18 crop-shards` and `face18 predict --cluster`.

sources       folders, lists, tar shards and other addresses -> parts of images
jobs          parts -> Parquet files and a manifest, by the futures of dask.distributed
crop          the command that cuts faces out; what it does to a part
"""
