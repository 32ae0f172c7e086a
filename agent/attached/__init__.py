"""What hangs on the terminal beside its buses: a GNSS receiver and a modem, joined to the rest in `junction`.

`devices` holds their settings, `port` what everything on a serial port needs. `gnss` takes fixes from `gnss_serial` or
`gnss_gpsd`, `modem` ICCID and signal from `modem_at` or `modem_manager`.
"""
