"""Small plates in the form in which Operetta (Harmony) and CellVoyager write them.

Made here after the files' published descriptions: real ones of a size for tests have no licence.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

SHAPE = (48, 64)


def pixels(*place: int) -> np.ndarray:
    seed = int("".join(f"{n:02}" for n in place))
    return np.random.default_rng(seed).integers(0, 60000, SHAPE, np.uint16)


_HARMONY = """<?xml version="1.0" encoding="utf-8"?>
<EvaluationInputData xmlns="http://www.perkinelmer.com/PEHH/HarmonyV5" Version="1">
<User>someone</User><InstrumentType>Phenix</InstrumentType>
<Plates><Plate><PlateID>P7</PlateID><MeasurementID>m</MeasurementID><Name>Screen 7</Name>
<PlateTypeName>96 PerkinElmer CellCarrier</PlateTypeName>
<PlateRows>8</PlateRows><PlateColumns>12</PlateColumns></Plate></Plates>
<Images>{images}</Images></EvaluationInputData>
"""
_HARMONY_IMAGE = """<Image Version="1"><id>{id}</id><State>Ok</State><URL>{url}</URL>
<Row>{row}</Row><Col>{col}</Col><FieldID>{field}</FieldID><PlaneID>{plane}</PlaneID>
<TimepointID>{time}</TimepointID><ChannelID>{channel}</ChannelID><FlimID>1</FlimID>
<ChannelName>{name}</ChannelName><ImageType>Signal</ImageType>
<AcquisitionType>NipkowConfocal</AcquisitionType>
<ImageResolutionX Unit="m">2.98E-07</ImageResolutionX>
<ImageResolutionY Unit="m">2.98E-07</ImageResolutionY>
<ImageSizeX>64</ImageSizeX><ImageSizeY>48</ImageSizeY><BinningX>2</BinningX>
<PositionX Unit="m">{x}</PositionX><PositionY Unit="m">{y}</PositionY>
<PositionZ Unit="m">{z}</PositionZ><AbsPositionZ Unit="m">0.135</AbsPositionZ>
<MeasurementTimeOffset Unit="s">{offset}</MeasurementTimeOffset>
<AbsTime>2024-03-05T11:22:33.123+01:00</AbsTime>
<MainExcitationWavelength Unit="nm">{ex}</MainExcitationWavelength>
<MainEmissionWavelength Unit="nm">{em}</MainEmissionWavelength>
<ObjectiveMagnification Unit="">20</ObjectiveMagnification><ObjectiveNA Unit="">1</ObjectiveNA>
<ExposureTime Unit="s">0.2</ExposureTime></Image>"""


def harmony(folder: Path, wells=((2, 3), (4, 11)), fields=2, times=2, planes=2) -> Path:
    """A measurement folder; its index. Pixels are ``pixels(row, col, field, t, c, z)``."""
    base = folder / "Screen 7__2024-03-05T11_22_33-Measurement 1" / "Images"
    base.mkdir(parents=True)
    images = []
    channels = [("HOECHST 33342", 375, 456), ("Alexa 488", 488, 522)]
    for row, col in wells:
        for field in range(1, fields + 1):
            for t in range(times):
                for c, (name, ex, em) in enumerate(channels, 1):
                    for z in range(1, planes + 1):
                        url = f"r{row:02}c{col:02}f{field:02}p{z:02}-ch{c}sk{t + 1}fk1fl1.tiff"
                        tifffile.imwrite(base / url, pixels(row, col, field, t, c, z))
                        images.append(
                            _HARMONY_IMAGE.format(
                                id=url[:-5], url=url, row=row, col=col, field=field, plane=z,
                                time=t, channel=c, name=name, ex=ex, em=em,
                                x=(field - 1) * 1.9e-5, y=2e-5, z=(z - 1) * 1.5e-6,
                                offset=t * 600.5,
                            )
                        )  # fmt: skip
    (base / "Index.idx.xml").write_text(_HARMONY.format(images="\n".join(images)), "utf-8")
    return base / "Index.idx.xml"


_BTS = 'xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0" bts:Version="1.0"'
_MRF = """<?xml version="1.0" encoding="utf-8"?>
<bts:MeasurementDetail {bts} bts:BeginTime="2024-01-01T10:00:00" bts:RowCount="16"
 bts:ColumnCount="24" bts:TimePointCount="1" bts:MeasurementSettingFileName="a.mes">
<bts:MeasurementSamplePlate bts:Name="384-well" bts:WellPlateFileName="AssayPlate.wpi"/>
{channels}</bts:MeasurementDetail>"""
_CAMERA = """<bts:MeasurementChannel bts:Ch="{ch}" bts:HorizontalPixelDimension="0.325"
 bts:VerticalPixelDimension="0.325" bts:CameraNumber="1" bts:InputBitDepth="16"
 bts:HorizontalPixels="64" bts:VerticalPixels="48" bts:FilterWheelPosition="1"/>"""
_MES = """<?xml version="1.0" encoding="utf-8"?>
<bts:MeasurementSetting {bts}><bts:LightSourceList>
<bts:LightSource bts:Name="405nm" bts:Type="Laser" bts:WaveLength="405" bts:Power="50"/>
<bts:LightSource bts:Name="488nm" bts:Type="Laser" bts:WaveLength="488" bts:Power="50"/>
</bts:LightSourceList><bts:ChannelList>
<bts:Channel bts:Ch="1" bts:Target="DAPI" bts:Color="#FF002BFF" bts:ExposureTime="200"
 bts:Acquisition="BP445/45"><bts:LightSourceName>405nm</bts:LightSourceName></bts:Channel>
<bts:Channel bts:Ch="2" bts:Target="" bts:Color="#FF00FF00" bts:ExposureTime="300"
 bts:Acquisition="BP525/50"><bts:LightSourceName>488nm</bts:LightSourceName></bts:Channel>
</bts:ChannelList></bts:MeasurementSetting>"""
_RECORD = """<bts:MeasurementRecord bts:Type="IMG" bts:Time="2024-01-01T10:00:0{z}"
 bts:Column="{col}" bts:Row="{row}" bts:TimePoint="1" bts:FieldIndex="{field}" bts:ZIndex="{z}"
 bts:TimelineIndex="1"
 bts:ActionIndex="{action}" bts:Action="{name}" bts:X="{x}" bts:Y="-15.6" bts:Z="{height}"
 bts:Ch="{ch}">{file}</bts:MeasurementRecord>"""


def cellvoyager(folder: Path, wells=((2, 3), (16, 24)), fields=2) -> Path:
    """A measurement folder; its list of planes. Channel 1 has three planes of z, channel 2 one."""
    base = folder / "AssayPlate_384"
    base.mkdir(parents=True)
    records = []
    for row, col in wells:
        for field in range(1, fields + 1):
            for ch, action, depth in ((1, 1, 3), (2, 2, 1)):
                for z in range(1, depth + 1):
                    well = f"{'ABCDEFGHIJKLMNOP'[row - 1]}{col:02}"
                    file = f"Plate_{well}_T0001F{field:03}L01A{action:02}Z{z:02}C{ch:02}.tif"
                    tifffile.imwrite(base / file, pixels(row, col, field, 0, ch, z))
                    records.append(
                        _RECORD.format(
                            row=row, col=col, field=field, z=z, action=action, ch=ch, file=file,
                            name="3D" if depth > 1 else "2D", x=(field - 1) * 20.8,
                            height=10 + 2 * z,
                        )
                    )  # fmt: skip
    records.append(f'<bts:MeasurementRecord bts:Type="ERR" {""}>stage</bts:MeasurementRecord>')
    data = "\n".join(records)
    (base / "MeasurementData.mlf").write_text(
        f'<?xml version="1.0"?><bts:MeasurementData {_BTS}>{data}</bts:MeasurementData>', "utf-8"
    )
    cameras = "".join(_CAMERA.format(ch=ch) for ch in (1, 2))
    (base / "MeasurementDetail.mrf").write_text(_MRF.format(bts=_BTS, channels=cameras), "utf-8")
    (base / "a.mes").write_text(_MES.format(bts=_BTS), "utf-8")
    return base / "MeasurementData.mlf"
