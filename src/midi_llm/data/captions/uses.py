"""What people want music for: uses that follow from the genres and moods of a piece.

In: genres and moods that may be said. Out: uses ("a road trip"). They say nothing measurable; a few fit any music.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

_BY_MOOD: Mapping[str, str] = {
    "energetic": "a workout|a road trip|getting people moving|a sports montage",
    "calm": "studying|falling asleep|relaxing|an evening at home",
    "relaxed": "a lazy afternoon|a cafe|a hammock",
    "epic": "a boss battle|a movie trailer|the final battle",
    "heroic": "a hero's battle|an adventure game|a knight's return",
    "danceable": "a party|the dance floor|a club night",
    "romantic": "a wedding|a candlelight dinner|a love scene",
    "dark": "a horror game|a dungeon|a villain's entrance",
    "cheerful": "a sunny day|a children's party|a picnic",
    "festive": "a celebration|a street party",
    "sad": "a farewell scene|a funeral scene",
    "melancholic": "a rainy day|an empty street at night",
    "nostalgic": "a scene of old memories|an old photo album",
    "upbeat": "a road trip|an advert|a cooking show",
    "peaceful": "meditation|an early morning|a garden scene",
    "mysterious": "a detective story|a haunted house|a puzzle level",
    "adventurous": "an adventure game|exploring a new world",
    "dreamy": "falling asleep|a dream sequence",
    "tender": "a bedtime story|a first kiss",
    "joyful": "a birthday|a holiday video",
    "uplifting": "a charity video|the end of a film",
    "aggressive": "a fight scene|a racing game",
    "driving": "a car chase|a night drive",
    "funky": "a party|a heist scene",
    "playful": "a cartoon|a game for children",
    "dramatic": "a film scene|a stage play",
    "elegant": "a ball|a dinner party",
    "hypnotic": "a long night drive|concentrating",
    "retro": "an old-school game|a retro arcade",
    "proud": "a parade|an award ceremony",
    "menacing": "a villain|a monster's lair",
    "suspenseful": "a thriller|a stealth level",
    "magical": "a fairy tale|an enchanted forest",
    "meditative": "meditation|yoga",
    "sleepy": "bedtime|falling asleep",
    "eerie": "a ghost story|a haunted house",
    "military": "a parade|a strategy game",
    "motivational": "a product video|a morning run",
    "glamorous": "a gala|a fashion show",
    "exotic": "a travel documentary|a bazaar scene",
}
_BY_GENRE: Mapping[str, str] = {
    "march": "a parade|marching", "hymn": "a church service|the congregation", "sacred": "a church service|a chapel",
    "mass": "a church service", "requiem": "a memorial", "lullaby": "a baby|bedtime",
    "christmas": "christmas|christmas eve",
    "holiday": "the holidays", "video game music": "a video game|a platform game|a level of my game",
    "etude": "practice",
    "8-bit": "a retro game", "chiptune": "a retro game|a pixel-art game",
    "role-playing game": "a role-playing game|a village in an rpg",
    "film score": "a film scene|a short film", "trailer music": "a trailer", "horror": "a horror film|a horror game",
    "western": "a western|a saloon scene", "spy theme": "a spy film", "disco": "the dance floor", "house": "a club",
    "techno": "a club|a warehouse party", "edm": "a festival", "lo-fi hip hop": "studying|coding at night",
    "ambient": "background listening",
    "children's": "children|a kindergarten", "tango": "dancing|a milonga", "waltz": "dancing|a ballroom",
    "ballroom": "a dance class",
    "lounge": "a hotel bar", "easy listening": "an elevator|a waiting room", "bossa nova": "a beach bar|a cafe",
    "smooth jazz": "a dinner|a cafe", "fanfare": "an entrance|an opening ceremony",
    "corporate": "a presentation|a product video",
    "relaxation": "relaxing|a spa", "new age": "a spa|yoga", "polka": "a village dance",
    "fantasy": "a fantasy game|a tavern",
    "dark fantasy": "a dark fantasy game", "musical theatre": "a musical", "salsa": "dancing",
    "surf rock": "a day at the beach",
    "klezmer": "a wedding", "Irish": "a pub", "Celtic": "a pub|a tale of the north",
    "medieval": "a castle|a tavern scene",
    "baroque": "a palace scene|a costume drama", "samba": "carnival", "calypso": "a beach party",
    "punk rock": "skateboarding",
}  # fmt: skip
NEUTRAL = ("my video", "a short film", "my game", "a podcast", "a school project", "my channel", "practice", "a friend")


def uses(genres: Collection[str], moods: Collection[str]) -> list[str]:
    """Uses that fit these genres or moods: "a road trip", to be put after "for"; none repeats the genre."""
    found = [_BY_MOOD.get(mood, "") for mood in moods] + [_BY_GENRE.get(genre, "") for genre in genres]
    return [use for text in found if text for use in text.split("|") if not any(genre in use for genre in genres)]
