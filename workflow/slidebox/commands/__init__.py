"""The subcommands of ``slidebox``, a module for each kind of user; `cli` puts them together."""
