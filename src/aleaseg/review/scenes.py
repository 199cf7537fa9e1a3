"""Files by which two programs open a case whole: a scene of 3D Slicer and a workspace of ITK-SNAP.

Both name the files beside them and hold nothing else of them. Slicer takes names relative to the scene;
ITK-SNAP takes absolute ones, and finds a workspace that was moved by the place that is said in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

__all__ = ["slicer_scene", "snap_workspace"]


def slicer_scene(image: str, labels: Sequence[str]) -> str:
    """A MRML scene of an image and label maps.

    Args:
        image: name of its file, beside the scene.
        labels: names of the files of label maps, the one to be edited first.
    """
    scene = Element("MRML", version="Slicer4.4.0", userTags="")
    for number, name in enumerate((image, *labels), start=1):
        storage = f"vtkMRMLVolumeArchetypeStorageNode{number}"
        SubElement(
            scene,
            "VolumeArchetypeStorage",
            id=storage,
            name=f"storage of {_stem(name)}",
            hideFromEditors="true",
            fileName=name,
            useCompression="1",
            centerImage="0",
            UseOrientationFromFile="1",
        )
        kind = "Volume" if number == 1 else "LabelMapVolume"
        node = "vtkMRMLScalarVolumeNode1" if number == 1 else f"vtkMRMLLabelMapVolumeNode{number - 1}"
        SubElement(
            scene,
            kind,
            id=node,
            name=_stem(name),
            hideFromEditors="false",
            selectable="true",
            references=f"storage:{storage};",
            userTags="",
        )
    return _written(scene)


def snap_workspace(folder: Path, image: str, labels: Sequence[str]) -> str:
    """A workspace of ITK-SNAP: the image, and the label maps, the one to be edited first.

    Args:
        folder: where all files are.
        image: name of its file.
        labels: names of the files of label maps.
    """
    registry = Element("registry")
    _entry(registry, "SaveLocation", str(folder.absolute()))
    _entry(registry, "Version", "20190612")
    layers = SubElement(registry, "folder", key="Layers")
    for number, name in enumerate((image, *labels)):
        layer = SubElement(layers, "folder", key=f"Layer[{number:03d}]")
        _entry(layer, "AbsolutePath", str((folder / name).absolute()))
        _entry(layer, "Role", "MainRole" if number == 0 else "SegmentationRole")
        _entry(layer, "Tags", "")
        SubElement(layer, "folder", key="IOHints")
        about = SubElement(layer, "folder", key="LayerMetaData")
        _entry(about, "CustomNickName", _stem(name))
    return _written(registry)


def _entry(parent: Element, key: str, value: str) -> None:
    SubElement(parent, "entry", key=key, value=value)


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _written(root: Element) -> str:
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'
