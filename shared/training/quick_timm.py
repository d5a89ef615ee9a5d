"""timm, loaded without torch's compiler: that takes as long as torch itself, and only who compiles or trains needs it.

torchvision, which timm loads, asks the compiler for one function, and timm marks some of its own as not to be compiled.
Meanwhile a stand-in answers for the compiler, which gives way to it when it is really called or asked for more.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

import torch

_COMPILER = "torch._dynamo"


class _StandIn(ModuleType):
    """Of `torch._dynamo`, or of its `utils`: what is asked of either they may both answer."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__path__ = []

    @staticmethod
    def disable(function: Any = None, recursive: bool = True, **_: object) -> Any:
        return torch._disable_dynamo(function, recursive)

    @staticmethod
    def is_compile_supported(device: str) -> bool:
        from torch._dynamo.utils import is_compile_supported

        return is_compile_supported(device)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        _give_way()
        return getattr(importlib.import_module(self.__name__), name)


def _stand_in() -> None:
    if _COMPILER not in sys.modules:
        sys.modules.update({name: _StandIn(name) for name in (_COMPILER, f"{_COMPILER}.utils")})


def _give_way() -> None:
    for name in (_COMPILER, f"{_COMPILER}.utils"):
        if isinstance(sys.modules.get(name), _StandIn):
            del sys.modules[name]


_stand_in()
try:
    import timm
finally:
    _give_way()

__all__ = ["timm"]
