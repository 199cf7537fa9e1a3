"""Files by which two programs open a case whole: a scene of 3D Slicer and a workspace of ITK-SNAP.

Both name the files beside them and hold nothing else of them but the names and colours of the classes. Slicer takes
names relative to the scene; ITK-SNAP takes absolute ones, and finds a workspace that was moved by the place that is
said in it. What their readers expect was read in their sources: `vtkMRMLParser`, `vtkMRMLNode` and the nodes named
below; `Registry`, `IRISApplication::OpenProject` and `ColorLabelTable`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from aleaseg.pages.thumbnails import line_colours

__all__ = ["slicer_scene", "snap_workspace"]

_MOST_COLOURS = 4096  # Slicer's table has a colour for every value up to the largest
_VIEWS = ("Red", "Green", "Yellow")


def slicer_scene(
    image: str, labels: Sequence[str], classes: Mapping[str, Sequence[int]], others: Sequence[str] = ()
) -> str:
    """A MRML scene of an image and label maps, the first of which lies over the image in the views.

    Args:
        image: name of its file, beside the scene.
        labels: names of the files of label maps, the one to be edited first.
        classes: name -> label values.
        others: files of label maps whose values are no classes.
    """
    # As Slicer 4.4 wrote them: what is not said here has the value that later versions give it.
    scene = Element("MRML", version="Slicer4.4.0", userTags="")
    colours = _colour_table(scene, classes)
    for number, name in enumerate((image, *labels, *others)):
        shown = "" if number == 0 else _display(scene, number, colours if name in labels else None)
        storage = f"vtkMRMLVolumeArchetypeStorageNode{number + 1}"
        _node(
            scene, "VolumeArchetypeStorage", storage, f"storage of {_stem(name)}", fileName=name,
            useCompression="1", centerImage="0", UseOrientationFromFile="1",
        )  # fmt: skip
        kind = "LabelMapVolume" if number else "Volume"
        node = f"vtkMRMLLabelMapVolumeNode{number}" if number else "vtkMRMLScalarVolumeNode1"
        references = f"storage:{storage};" + (f"display:{shown};" if shown else "")
        _node(scene, kind, node, _stem(name), hidden=False, references=references)
    over = "labelVolume:vtkMRMLLabelMapVolumeNode1;" if labels else ""
    for view in _VIEWS:
        _node(
            scene, "SliceComposite", f"vtkMRMLSliceCompositeNode{view}", "SliceComposite", singletonTag=view,
            references=f"backgroundVolume:vtkMRMLScalarVolumeNode1;{over}", labelOpacity="0.5", layoutName=view,
        )  # fmt: skip
    return _written(scene)


def _colour_table(scene: Element, classes: Mapping[str, Sequence[int]]) -> str | None:
    """A table of colours with a place for every value from 0 on; its id, None where it would be endless."""
    named = _named(classes)
    if not named or max(named) >= _MOST_COLOURS:
        return None
    places = []
    for value in range(max(named) + 1):
        name, (r, g, b) = named.get(value, (f"label {value}" if value else "background", (0, 0, 0)))
        # Words are told apart by spaces, and a name is between ticks.
        plain = "_".join(name.replace("'", " ").split()) or f"label_{value}"
        places.append(f"{value} '{plain}' {r / 255:.4g} {g / 255:.4g} {b / 255:.4g} {int(value in named)}")
    # `type` first: only a table of the user's own (13) can be given a size.
    _node(
        scene, "ColorTable", "vtkMRMLColorTableNode1", "classes", hidden=False, type="13",
        numcolors=f"{len(places)}", colors=" ".join(places),
    )  # fmt: skip
    return "vtkMRMLColorTableNode1"


def _display(scene: Element, number: int, colours: str | None) -> str:
    node = f"vtkMRMLLabelMapVolumeDisplayNode{number}"
    table = colours or "vtkMRMLColorTableNodeLabels"  # Slicer's own
    _node(scene, "LabelMapVolumeDisplay", node, f"display {number}", colorNodeID=table)
    return node


def _node(scene: Element, tag: str, node_id: str, name: str, *, hidden: bool = True, **more: str) -> None:
    about = {"id": node_id, "name": name, "hideFromEditors": str(hidden).lower()}
    SubElement(scene, tag, {**about, **more})


def snap_workspace(
    folder: Path,
    image: str,
    labels: Sequence[str],
    classes: Mapping[str, Sequence[int]],
    others: Sequence[str] = (),
) -> str:
    """A workspace of ITK-SNAP: the image, and the label maps, the one to be edited first.

    Args:
        folder: where all files are.
        image: name of its file.
        labels: names of the files of label maps.
        classes: name -> label values: without them ITK-SNAP has nothing to draw with.
        others: files of label maps whose values are no classes; they are loaded as images.
    """
    registry = Element("registry")
    _entry(registry, "SaveLocation", str(folder.absolute()))
    _entry(registry, "Version", "20190612")
    layers = _folder(registry, "Layers")
    roles = ["MainRole", *["SegmentationRole"] * len(labels), *["OverlayRole"] * len(others)]
    for number, (name, role) in enumerate(zip((image, *labels, *others), roles, strict=True)):
        layer = _folder(layers, f"Layer[{number:03d}]")
        _entry(layer, "AbsolutePath", str((folder / name).absolute()))
        _entry(layer, "Role", role)
        _entry(layer, "Tags", "")
        _folder(layer, "IOHints")
        _entry(_folder(layer, "LayerMetaData"), "CustomNickName", _stem(name))
        if number == 0:
            _label_table(_folder(_folder(layer, "ProjectMetaData"), "IRIS"), classes)
    return _written(registry)


def _label_table(parent: Element, classes: Mapping[str, Sequence[int]]) -> None:
    """The labels to draw with: a workspace that names none takes all away."""
    named = _named(classes)
    table = _folder(parent, "LabelTable")
    _entry(table, "NumberOfElements", f"{len(named)}")
    for number, (value, (name, colour)) in enumerate(named.items()):
        element = _folder(table, f"Element[{number}]")
        _entry(element, "Alpha", "255")
        _entry(element, "Color", " ".join(map(str, colour)))
        _entry(element, "Flags", "1 1")  # seen in 3D, seen at all
        _entry(element, "Index", f"{value}")
        _entry(element, "Label", name)
    state = _folder(parent, "LabelState")
    _entry(state, "DrawingLabel", f"{next(iter(named), 1)}")


def _named(classes: Mapping[str, Sequence[int]]) -> dict[int, tuple[str, tuple[int, int, int]]]:
    """Label value -> name and colour, by value; a value of several classes has the name of the smallest."""
    found: dict[int, tuple[str, tuple[int, int, int]]] = {}
    colours = line_colours(len(classes))
    each = sorted(zip(classes.items(), colours, strict=True), key=lambda one: -len(one[0][1]))
    for (name, values), (solid, _) in each:
        r, g, b = bytes.fromhex(solid.removeprefix("#"))
        several = len(values) > 1
        found |= {value: (f"{name} {value}" if several else name, (r, g, b)) for value in values}
    return dict(sorted(found.items()))


def _folder(parent: Element, key: str) -> Element:
    return SubElement(parent, "folder", key=key)


def _entry(parent: Element, key: str, value: str) -> None:
    SubElement(parent, "entry", key=key, value=value)


def _stem(name: str) -> str:
    return name.partition(".")[0]


def _written(root: Element) -> str:
    indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'
