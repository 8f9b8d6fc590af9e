"""Pictures from files and to files: 8 and 16 bits, grey and colours, transparency, colour profile, orientation."""

from .animation import Animation, is_animated, read_animation, write_animation
from .picture import Picture
from .read import SUFFIXES as READ_SUFFIXES, read_image, read_picture
from .write import WRITE_SUFFIXES, check_output, check_room, format_of, options_of, write_bands, write_image

__all__ = ["Animation", "Picture", "READ_SUFFIXES", "WRITE_SUFFIXES", "check_output", "check_room", "format_of",
           "is_animated", "options_of", "read_animation", "read_image", "read_picture", "write_animation",
           "write_bands", "write_image"]
