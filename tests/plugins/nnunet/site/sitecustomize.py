"""On the PYTHONPATH of nnU-Net's commands in these tests, and nowhere else.

nnU-Net looks for a trainer's name by importing all of its own trainers first; those of Primus import
timm, and timm needs a torchvision that fits torch, which the CPU build of these tests has none of. Where
timm is not installed, names of it stand for nothing here: no Primus is ever made.
"""

import importlib.machinery
import importlib.util
import os
import sys
import types


class _Names(types.ModuleType):
    __path__ = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _Timm:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "timm":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        return _Names(spec.name)

    def exec_module(self, module):
        pass


# On a CPU nnU-Net takes every thread there is; machines that run tests have other work too.
os.cpu_count = lambda: 1
if importlib.util.find_spec("timm") is None:
    sys.meta_path.append(_Timm())
