"""The read-only HTML board."""

from fastapi import FastAPI

from callboard.usecases.platform import Platform


def install(app: FastAPI, platform: Platform) -> None: ...
