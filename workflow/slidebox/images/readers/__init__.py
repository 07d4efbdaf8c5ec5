"""One module a family of formats; each has ``open_file(path, format) -> ImageFile``."""
