"""`tbox interfaces`: what hardware is plugged in. One module a place to look, `found` what they give, `all` asks every one."""
