"""Messages of a mapping that never came are named."""

from pathlib import Path

from mapped import Car

from agent.mapping.plan import unseen

MESSAGES = """
BO_ 256 BMS: 8 A
 SG_ Soc : 0|8@1+ (1,0) [0|100] "%" A
BO_ 2566844414 ESC: 8 A
 SG_ Speed : 0|16@1+ (0.1,0) [0|220] "km/h" A
BO_ 512 Cells: 8 A
 SG_ Page M : 0|8@1+ (1,0) [0|1] "" A
 SG_ Cell1 m0 : 8|16@1+ (0.001,0) [0|5] "V" A
 SG_ Cell2 m1 : 8|16@1+ (0.001,0) [0|5] "V" A
"""
SECTIONS = """[vehicle]
soc = "b.BMS.Soc"
speed = "b.ESC.Speed"
[storage_voltages]
cells = { signal = "b.Cells.Cell{n}", count = 2 }
"""


def test_a_message_is_unseen_until_one_frame_of_it_is_kept(tmp_path: Path) -> None:
    car = Car(tmp_path, MESSAGES, SECTIONS)
    plan, stamps = car.mapping.plan, car.latest.stamps
    assert sorted(unseen(plan, stamps)) == ["b.0x100", "b.0x18FEEFFEx", "b.0x200"]
    car.keep(0x100, "32")
    car.keep(0x98FEEFFE, "0000")
    assert unseen(plan, stamps) == ["b.0x200"]
    car.keep(0x200, "05 0000")  # a page that the mapping does not read
    assert unseen(plan, stamps) == ["b.0x200"]
    car.keep(0x200, "01 a00f")
    assert unseen(plan, stamps) == []
