"""OpenVINO IR: `rt_info/model_info` in the graph's XML, the keys of the Model API."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree

from edgetl_exporters.metadata.info import KEY, Info, model_info


def write(files: Mapping[str, bytes], info: Info) -> Mapping[str, bytes]:
    """The files, graph first, with the metadata in the graph; the weights do not change."""
    (name, graph), *weights = files.items()
    net = ElementTree.fromstring(graph)
    rt_info = net.find("rt_info")
    if rt_info is None:
        rt_info = ElementTree.SubElement(net, "rt_info")
    for old in rt_info.findall("model_info"):
        rt_info.remove(old)
    section = ElementTree.SubElement(rt_info, "model_info")
    entries = {**model_info(info), "description": info.description, KEY: info.spec()}
    for key, value in sorted(entries.items()):
        ElementTree.SubElement(section, key, value=value)
    return {name: ElementTree.tostring(net, encoding="utf-8", xml_declaration=True), **dict(weights)}
