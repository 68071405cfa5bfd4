"""What goes wrong with a text encoder, in a sentence that says what to do."""


class TextEncoderError(ValueError):
    """A text encoder that is missing, damaged or not what was asked for; the message says what to do."""
