"""Which processor a rented machine has, by its series, and the instruction sets that matter for inference there.

Sources: the providers' pages on instance types (AWS), machine series and CPU platforms (Google Cloud) and size series
(Azure); the instruction sets by the makers' manuals. Where a series has one of several processors, only what all of
them have is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

AVX2 = ("avx2", "f16c", "fma")
AVX512 = (*AVX2, "avx512f")
VNNI = (*AVX512, "avx512_vnni")
GENOA = (*VNNI, "avx512_bf16")
TURIN = (*GENOA, "avx_vnni")
AMX = (*TURIN, "amx_bf16", "amx_int8", "avx512_fp16")
NEOVERSE_N1 = ("dotprod", "fp16", "neon")
NEOVERSE_V1 = (*NEOVERSE_N1, "bf16", "i8mm", "sve")
NEOVERSE_V2 = (*NEOVERSE_V1, "sve2")

Processor = tuple[str, tuple[str, ...]]
UNKNOWN: Processor = ("", ())
MILAN: Processor = ("AMD EPYC Milan", AVX2)
ROME_OR_MILAN: Processor = ("AMD EPYC Rome or Milan", AVX2)
EPYC_4: Processor = ("AMD EPYC Genoa", GENOA)
EPYC_5: Processor = ("AMD EPYC Turin", TURIN)
SKYLAKE: Processor = ("Intel Xeon Skylake or Cascade Lake", AVX512)
CASCADE_LAKE: Processor = ("Intel Xeon Cascade Lake", VNNI)
ICE_LAKE: Processor = ("Intel Xeon Ice Lake", VNNI)
SAPPHIRE_RAPIDS: Processor = ("Intel Xeon Sapphire Rapids", AMX)
EMERALD_RAPIDS: Processor = ("Intel Xeon Emerald Rapids", AMX)
GRANITE_RAPIDS: Processor = ("Intel Xeon 6 Granite Rapids", AMX)
ALTRA: Processor = ("Ampere Altra", NEOVERSE_N1)
GRAVITON_2: Processor = ("AWS Graviton2", NEOVERSE_N1)
GRAVITON_3: Processor = ("AWS Graviton3", NEOVERSE_V1)
GRAVITON_4: Processor = ("AWS Graviton4", NEOVERSE_V2)
AXION: Processor = ("Google Axion", NEOVERSE_V2)

AWS: Mapping[str, Processor] = {
    **dict.fromkeys(("c5", "m5", "r5"), SKYLAKE),
    **dict.fromkeys(("c6i", "m6i", "r6i"), ICE_LAKE),
    **dict.fromkeys(("c7i", "m7i", "r7i"), SAPPHIRE_RAPIDS),
    **dict.fromkeys(("c8i", "m8i", "r8i"), GRANITE_RAPIDS),
    **dict.fromkeys(("c6a", "m6a", "r6a"), MILAN),
    **dict.fromkeys(("c7a", "m7a", "r7a"), EPYC_4),
    **dict.fromkeys(("c8a", "m8a", "r8a"), EPYC_5),
    **dict.fromkeys(("c6g", "m6g", "r6g", "t4g"), GRAVITON_2),
    **dict.fromkeys(("c7g", "m7g", "r7g"), GRAVITON_3),
    **dict.fromkeys(("c8g", "m8g", "r8g"), GRAVITON_4),
}
GCP: Mapping[str, Processor] = {
    "a2": CASCADE_LAKE,
    "a3": SAPPHIRE_RAPIDS,
    "c2": CASCADE_LAKE,
    "c2d": MILAN,
    "c3": SAPPHIRE_RAPIDS,
    "c3d": EPYC_4,
    "c4": EMERALD_RAPIDS,
    "c4a": AXION,
    "g2": CASCADE_LAKE,
    "n2": ("Intel Xeon Cascade Lake or Ice Lake", VNNI),
    "n2d": ROME_OR_MILAN,
    "n4": EMERALD_RAPIDS,
    "n4d": EPYC_5,
    "t2a": ALTRA,
    "t2d": MILAN,
}
AZURE: Mapping[str, Processor] = {
    "Das_v4": ROME_OR_MILAN,
    "Eas_v4": ROME_OR_MILAN,
    "Dls_v5": ICE_LAKE,
    "Ds_v5": ICE_LAKE,
    "Es_v5": ICE_LAKE,
    "Dpls_v5": ALTRA,
    "Dps_v5": ALTRA,
    "Eps_v5": ALTRA,
    "Fs_v2": ("Intel Xeon Skylake, Cascade Lake or Ice Lake", AVX512),
}


def processor_of(machine: str) -> Processor:
    """Name and instruction sets of a machine's processor, ("", ()) where the series is not known."""
    if match := re.fullmatch(r"([a-z]+[0-9]+[agi]?)[a-z-]*\.[a-z0-9-]+", machine):
        return AWS.get(match[1], UNKNOWN)
    if match := re.fullmatch(r"Standard_([A-Z])[0-9]+([a-z]+_v[0-9])", machine):
        return AZURE.get(match[1] + match[2], UNKNOWN)
    series, dash, _ = machine.partition("-")
    return GCP.get(series, UNKNOWN) if dash else UNKNOWN
