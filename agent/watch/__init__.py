"""`tbox watch`: `source` gives snapshots, `view` makes one look of each out of `rows` (`signals`, `places`), `text` puts it into
words, `screen` onto the terminal."""
