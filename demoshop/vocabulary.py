"""The words of the demo shop: departments, categories, types, attributes and broad intents.

Lists are comma-separated; a name is a ``|``-separated list of synonyms, the commonest first: a title takes one, a
query another.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Department:
    """Eight categories by six types: every kind of every noun. ``price`` is the median in the shop's money."""

    name: str
    price: float
    nouns: str
    kinds: str
    materials: str
    sizes: str
    uses: str


@dataclass(frozen=True)
class Intent:
    """A broad wish: what is typed, the use it implies, and the categories (first synonym) that serve it."""

    phrases: str
    use: str
    nouns: str


DEPARTMENTS = (
    Department(
        "Furniture",
        240.0,
        nouns=(
            "sofa|couch|settee, armchair|accent chair, coffee table|cocktail table, bookcase|bookshelf, "
            "dresser|chest of drawers, bed frame|bedstead, nightstand|bedside table, bench|banquette"
        ),
        kinds=(
            "compact|small space, oversized|extra large, storage, folding|collapsible, kids|children, outdoor|patio"
        ),
        materials="oak, walnut, pine, velvet, steel, rattan|wicker",
        sizes="small, medium, large, extra wide",
        uses="living room, bedroom, guest room, nursery, housewarming",
    ),
    Department(
        "Kitchen",
        38.0,
        nouns=(
            "frying pan|skillet, saucepan|pot, kettle|tea kettle, coffee maker|coffee machine, chef knife|cooks "
            "knife, cutting board|chopping board, mug|cup, baking tray|sheet pan"
        ),
        kinds="professional|pro, nonstick|non stick, travel|portable, induction, mini|little, insulated|thermal",
        materials="stainless steel|inox, cast iron, ceramic|stoneware, bamboo, copper, glass",
        sizes="small, medium, large, family size",
        uses="baking, camping, barbecue|bbq, housewarming, breakfast",
    ),
    Department(
        "Shoes",
        72.0,
        nouns=(
            "sneakers|trainers, boots, sandals, loafers|slip ons, heels|pumps, flats|ballerinas, slippers|house "
            "shoes, clogs|mules"
        ),
        kinds=(
            "womens|ladies, mens|gents, kids|children, wide fit|extra wide, waterproof|rainproof, lightweight|light"
        ),
        materials="leather, suede, canvas, mesh, rubber",
        sizes="size 36, size 38, size 40, size 42, size 44",
        uses="running|jogging, hiking|trekking, office, wedding, beach",
    ),
    Department(
        "Clothing",
        45.0,
        nouns=(
            "jacket|coat, sweater|jumper|pullover, t shirt|tee, trousers|pants, dress|gown, skirt, "
            "hoodie|sweatshirt, socks|stockings"
        ),
        kinds="womens|ladies, mens|gents, kids|children, plus size|curvy, slim fit|fitted, thermal|warm",
        materials="cotton, wool|merino, linen, denim, fleece, silk",
        sizes="xs, s, m, l, xl",
        uses="running|jogging, office, wedding, beach, winter",
    ),
    Department(
        "Electronics",
        130.0,
        nouns=(
            "headphones|headset, speaker|loudspeaker, smartwatch|smart watch, keyboard, mouse, "
            "monitor|display|screen, charger|power adapter, webcam|web camera"
        ),
        kinds=(
            "wireless|bluetooth, gaming|gamer, portable|travel, kids|children, waterproof|rugged, studio|professional"
        ),
        materials="aluminium|aluminum, plastic, carbon, fabric",
        sizes="mini, standard, large, full size",
        uses="running|jogging, office, gaming, travel, music",
    ),
    Department(
        "Outdoor",
        85.0,
        nouns=(
            "tent, sleeping bag, backpack|rucksack, flashlight|torch, camping stove|burner, water bottle|canteen, "
            "cooler|cool box, hammock"
        ),
        kinds="ultralight|lightweight, family, winter|four season, insulated, compact|packable, kids|children",
        materials="nylon, polyester, titanium, canvas, recycled",
        sizes="1 person, 2 person, 4 person, 30 litre, 50 litre",
        uses="hiking|trekking, camping, beach, festival, travel",
    ),
    Department(
        "Sports",
        55.0,
        nouns=(
            "yoga mat|exercise mat, dumbbell|hand weight, bike helmet|cycling helmet, football|soccer ball, "
            "tennis racket|racquet, swim goggles|swimming goggles, jump rope|skipping rope, resistance "
            "band|exercise band"
        ),
        kinds=(
            "beginner|starter, professional|pro, kids|junior, travel|portable, heavy duty|reinforced, womens|ladies"
        ),
        materials="rubber, foam, carbon, steel, cork",
        sizes="small, medium, large, one size",
        uses="running|jogging, fitness|gym, beach, school, cycling|biking",
    ),
    Department(
        "Beauty",
        22.0,
        nouns=(
            "shampoo, face cream|moisturizer, lipstick|lip colour, perfume|fragrance, sunscreen|sun cream, hair "
            "dryer|blow dryer, nail polish|nail varnish, body lotion|body milk"
        ),
        kinds=(
            "organic|natural, sensitive skin|gentle, travel size|mini, mens|gents, anti aging|age defying, "
            "vegan|cruelty free"
        ),
        materials="aloe, argan, shea, lavender, coconut",
        sizes="50 ml, 100 ml, 250 ml, 500 ml",
        uses="wedding, beach, winter, travel, spa",
    ),
    Department(
        "Toys",
        28.0,
        nouns=(
            "building blocks|construction set, puzzle|jigsaw, doll|dolly, board game|family game, plush "
            "toy|stuffed animal, toy car|model car, scooter|kick scooter, craft kit|diy set"
        ),
        kinds="toddler|preschool, baby|infant, magnetic, educational|learning, giant|jumbo, travel|pocket",
        materials="wooden|wood, plastic, fabric, cardboard, foam",
        sizes="24 pieces, 60 pieces, 120 pieces, 500 pieces",
        uses="birthday, school, travel, rainy day, nursery",
    ),
    Department(
        "Garden",
        48.0,
        nouns=(
            "planter|plant pot, garden hose|hosepipe, pruning shears|secateurs, lawn mower|grass cutter, bird "
            "feeder, solar light|solar lamp, parasol|sun umbrella, grill|barbecue"
        ),
        kinds=(
            "balcony|small space, heavy duty|robust, cordless|battery, hanging, self watering|automatic, "
            "foldable|folding"
        ),
        materials="terracotta|clay, steel, teak, plastic, stone",
        sizes="small, medium, large, 10 m, 20 m",
        uses="barbecue|bbq, housewarming, balcony, winter, garden party",
    ),
    Department(
        "Office",
        34.0,
        nouns=(
            "notebook|journal, desk lamp|table lamp, office chair|desk chair, desk|writing table, pen|ballpoint, "
            "planner|diary, file cabinet|filing cabinet, desk organizer|desk tidy"
        ),
        kinds=(
            "ergonomic, compact|small, adjustable|height adjustable, executive|premium, student|school, eco|recycled"
        ),
        materials="leather, oak, steel, bamboo, mesh",
        sizes="a5, a4, small, large, wide",
        uses="office, school, home office, travel, graduation",
    ),
    Department(
        "Pets",
        26.0,
        nouns=(
            "dog bed|pet bed, cat tree|scratching post, dog leash|dog lead, pet carrier|transport box, cat litter "
            "box|litter tray, food bowl|feeding dish, dog toy|chew toy, aquarium|fish tank"
        ),
        kinds=(
            "puppy|kitten, large breed|big dog, orthopedic|senior, travel|portable, washable|easy clean, "
            "indestructible|tough"
        ),
        materials="plush, nylon, sisal, ceramic, stainless steel|inox",
        sizes="small, medium, large, extra large",
        uses="travel, training, winter, hiking|trekking, birthday",
    ),
)

COLORS = (
    "black, white, grey|gray|charcoal, navy|dark blue, blue|azure, red|crimson, green|emerald, "
    "beige|sand|cream, brown|chocolate, pink|rose, yellow|mustard, purple|violet, orange|rust, gold|golden"
)

STYLES = (
    "modern|contemporary, classic|traditional, rustic|farmhouse, boho|bohemian, minimalist|simple, "
    "sporty|athletic, vintage|retro, elegant|luxury"
)

INTENTS = (
    Intent(
        "gift for runner|present for a runner|runner gifts",
        "running",
        "sneakers, socks, headphones, smartwatch, water bottle, t shirt",
    ),
    Intent("marathon training|start running", "running", "sneakers, smartwatch, t shirt, resistance band, socks"),
    Intent("summer wedding|wedding guest outfit", "wedding", "dress, heels, flats, perfume, lipstick, loafers"),
    Intent("bridal|bride to be", "wedding", "dress, heels, nail polish, face cream, perfume"),
    Intent(
        "beach holiday|day at the beach|summer vacation",
        "beach",
        "sandals, sunscreen, cooler, swim goggles, football, dress, hammock",
    ),
    Intent("weekend in the mountains|mountain trip", "hiking", "boots, backpack, tent, water bottle, sleeping bag"),
    Intent("hiking with dog|outdoor adventures with dog", "hiking", "dog leash, food bowl, pet carrier, dog bed"),
    Intent("back to school|school supplies", "school", "notebook, pen, planner, desk lamp, football, puzzle"),
    Intent(
        "new home gift|housewarming present|moving in",
        "housewarming",
        "mug, kettle, planter, coffee table, cutting board, solar light, bookcase",
    ),
    Intent("home office setup|working from home", "office", "keyboard, mouse, monitor, webcam, office chair, desk"),
    Intent("first day at work|business casual", "office", "loafers, trousers, flats, notebook, pen, jacket"),
    Intent("gaming setup|gift for gamer", "gaming", "headphones, keyboard, mouse, monitor, speaker"),
    Intent(
        "long flight|travel essentials|going on a trip",
        "travel",
        "headphones, charger, backpack, body lotion, board game, pet carrier, planner",
    ),
    Intent(
        "cold weather|winter is coming|keep warm",
        "winter",
        "jacket, sweater, socks, face cream, dog bed, bird feeder",
    ),
    Intent("summer barbecue|bbq party", "barbecue", "grill, cooler, chef knife, parasol, cutting board"),
    Intent(
        "kids birthday|birthday present for kids",
        "birthday",
        "building blocks, doll, board game, scooter, toy car, plush toy",
    ),
    Intent("baby room|expecting a baby", "nursery", "plush toy, armchair, dresser, building blocks, nightstand"),
    Intent("sunday brunch|breakfast in bed", "breakfast", "mug, coffee maker, kettle, frying pan"),
    Intent("get fit at home|new year resolution", "fitness", "yoga mat, dumbbell, resistance band, jump rope"),
    Intent("festival season|open air festival", "festival", "tent, sleeping bag, cooler, hammock, water bottle"),
    Intent("spa day at home|relaxing evening|self care", "spa", "body lotion, face cream, perfume, shampoo"),
    Intent("new puppy|puppy starter", "training", "dog leash, dog toy, dog bed, food bowl"),
    Intent("cake baking|learn to bake", "baking", "baking tray, saucepan, mug"),
    Intent("rainy day with kids|indoor activities", "rainy day", "puzzle, board game, craft kit, building blocks"),
)

BRAND_STARTS = (
    "al, bre, cor, dal, el, fen, gra, hal, il, jor, kel, lun, mar, nor, ol, pra, quin, ros, sol, tar, ul, ver, wil, zen"
)

BRAND_ENDS = (
    "aro, bek, cona, dine, ello, fix, gard, hus, ika, jo, kano, lith, mont, nova, ora, pell, quist, rell, "
    "stad, tova, umi, vik, wyn, zia"
)


def names(listed: str) -> list[str]:
    """The names of a comma-separated list, each with its synonyms."""
    return listed.split(", ")


def first(name: str) -> str:
    """The commonest synonym of a name."""
    return name.partition("|")[0]
