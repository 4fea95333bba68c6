"""The catalogue's facts: class names and counts come from the sets' own lists and label files."""

from tfrecords_tools.sources.catalogue import Dataset


def _counts(text: str) -> dict[str, int]:
    pairs = (pair.split("=") for pair in text.split())
    return {name: int(count) for name, count in pairs}


def _same(count: int, text: str) -> dict[str, int]:
    return dict.fromkeys(text.split(), count)


def _labels(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


_NOT_STATED = "not stated"

_SEVENTEEN = _labels(
    "airplane, bare-soil, buildings, cars, chaparral, court, dock, field, grass, "
    "mobile-home, pavement, sand, sea, ship, tanks, trees, water",
)

DATASETS = (
    Dataset(
        name="AID",
        task="single-label",
        images=10000,
        size="600",
        resolution="0.5 to 8",
        licence=_NOT_STATED,
        citation="Xia et al. 2017, IEEE TGRS 55(7), doi:10.1109/TGRS.2017.2685945",
        page="https://captain-whu.github.io/AID/",
        layout="AID/<Class>/<class>_<n>.jpg",
        classes=_counts(
            "Airport=360 BareLand=310 BaseballField=220 Beach=400 Bridge=360 Center=260 "
            "Church=240 Commercial=350 DenseResidential=410 Desert=300 Farmland=370 "
            "Forest=250 Industrial=390 Meadow=280 MediumResidential=290 Mountain=340 Park=350 "
            "Parking=390 Playground=370 Pond=420 Port=380 RailwayStation=260 Resort=290 "
            "River=410 School=300 SparseResidential=300 Square=330 Stadium=290 "
            "StorageTanks=360 Viaduct=420",
        ),
    ),
    Dataset(
        name="AID multi-label",
        task="multi-label",
        images=3000,
        size="600",
        resolution="0.5 to 8",
        licence=_NOT_STATED,
        citation="Hua et al. 2020, IEEE TGRS 58(7), doi:10.1109/TGRS.2019.2963364",
        page="https://github.com/Hua-YS/AID-Multilabel-Dataset",
        layout="images/<class>_<n>.jpg and a CSV of 17 labels",
        labels=_SEVENTEEN,
    ),
    Dataset(
        name="EuroSAT",
        task="single-label",
        images=27000,
        size="64",
        resolution="10",
        licence="MIT; Sentinel-2 data: Copernicus",
        citation="Helber et al. 2019, IEEE JSTARS 12(7), doi:10.1109/JSTARS.2019.2918242",
        page="https://github.com/phelber/EuroSAT",
        layout="2750/<Class>/<Class>_<n>.jpg (RGB), or .tif of 13 bands",
        classes=_counts(
            "AnnualCrop=3000 Forest=3000 HerbaceousVegetation=3000 Highway=2500 "
            "Industrial=2500 Pasture=2000 PermanentCrop=2500 Residential=3000 River=2500 "
            "SeaLake=3000",
        ),
        tfds="eurosat",
        bands=_labels("B01, B02, B03, B04, B05, B06, B07, B08, B09, B10, B11, B12, B8A"),
    ),
    Dataset(
        name="MLRSNet",
        task="single-label and multi-label",
        images=109161,
        size="256",
        resolution="0.1 to 10",
        licence="CC BY 4.0",
        citation="Qi et al. 2020, ISPRS J. 169, 337-350, doi:10.1016/j.isprsjprs.2020.09.020",
        page="https://data.mendeley.com/datasets/7j9bv9vwsx",
        layout="Images/<class>/<class>_<n>.jpg and Labels/<class>.csv",
        classes=_counts(
            "airplane=1762 airport=2189 bareland=1500 baseball_diamond=2002 "
            "basketball_court=2895 beach=2500 bridge=2500 chaparral=2500 cloud=1798 "
            "commercial_area=2500 dense_residential_area=2783 desert=2539 "
            "eroded_farmland=2500 farmland=2501 forest=2501 freeway=2500 golf_course=2515 "
            "ground_track_field=2500 harbor&port=2505 industrial_area=2110 intersection=2498 "
            "island=2499 lake=2500 meadow=2502 mobile_home_park=2500 mountain=2500 "
            "overpass=2500 park=1682 parking_lot=2502 parkway=2537 railway=2500 "
            "railway_station=2187 river=2500 roundabout=2040 shipping_yard=2500 snowberg=2555 "
            "sparse_residential_area=1829 stadium=2462 storage_tank=2500 swimmimg_pool=2005 "
            "tennis_court=2500 terrace=2500 transmission_tower=2500 vegetable_greenhouse=2601 "
            "wetland=2612 wind_turbine=2050",
        ),
        labels=_labels(
            "airplane, airport, bare soil, baseball diamond, basketball court, beach, bridge, "
            "buildings, cars, chaparral, cloud, containers, crosswalk, dense residential "
            "area, desert, dock, factory, field, football field, forest, freeway, golf "
            "course, grass, greenhouse, gully, habor, intersection, island, lake, mobile "
            "home, mountain, overpass, park, parking lot, parkway, pavement, railway, railway "
            "station, river, road, roundabout, runway, sand, sea, ships, snow, snowberg, "
            "sparse residential area, stadium, swimming pool, tanks, tennis court, terrace, "
            "track, trail, transmission tower, trees, water, wetland, wind turbine",
        ),
        label_cap=13,
        own_label={
            "storage_tank": "tanks",
            "harbor&port": "habor",
            "bareland": "bare soil",
            "mobile_home_park": "mobile home",
            "vegetable_greenhouse": "greenhouse",
            "ground_track_field": "track",
            "shipping_yard": "containers",
        },
    ),
    Dataset(
        name="NWPU-RESISC45",
        task="single-label",
        images=31500,
        size="256",
        resolution="0.2 to 30",
        licence=_NOT_STATED,
        citation="Cheng et al. 2017, Proc. IEEE 105(10), doi:10.1109/JPROC.2017.2675998",
        page="https://gcheng-nwpu.github.io/",
        layout="NWPU-RESISC45/<class>/<class>_<nnn>.jpg",
        classes=_same(
            700,
            "airplane airport baseball_diamond basketball_court beach bridge chaparral church "
            "circular_farmland cloud commercial_area dense_residential desert forest freeway "
            "golf_course ground_track_field harbor industrial_area intersection island lake "
            "meadow medium_residential mobile_home_park mountain overpass palace parking_lot "
            "railway railway_station rectangular_farmland river roundabout runway sea_ice "
            "ship snowberg sparse_residential stadium storage_tank tennis_court terrace "
            "thermal_power_station wetland",
        ),
        tfds="resisc45",
    ),
    Dataset(
        name="PatternNet",
        task="single-label",
        images=30400,
        size="256",
        resolution="0.062 to 4.693",
        licence=_NOT_STATED,
        citation="Zhou et al. 2018, ISPRS J. 145, 197-209, doi:10.1016/j.isprsjprs.2018.01.004",
        page="https://sites.google.com/view/zhouwx/dataset",
        layout="images/<class>/<class><nnn>.jpg",
        classes=_same(
            800,
            "airplane baseball_field basketball_court beach bridge cemetery chaparral "
            "christmas_tree_farm closed_road coastal_mansion crosswalk dense_residential "
            "ferry_terminal football_field forest freeway golf_course harbor intersection "
            "mobile_home_park nursing_home oil_gas_field oil_well overpass parking_lot "
            "parking_space railway river runway runway_marking shipping_yard solar_panel "
            "sparse_residential storage_tank swimming_pool tennis_court transformer_station "
            "wastewater_treatment_plant",
        ),
    ),
    Dataset(
        name="RSI-CB256",
        task="single-label",
        images=24747,
        size="256",
        resolution="0.3 to 3",
        licence=_NOT_STATED,
        citation="Li et al. 2020, Sensors 20(6), 1594, doi:10.3390/s20061594",
        page="https://github.com/lehaifeng/RSI-CB",
        layout="RSI-CB256/<group>/<class>/<class>(<n>).tif",
        classes=_counts(
            "airplane=351 airport_runway=678 artificial_grassland=283 avenue=544 "
            "bare_land=864 bridge=469 city_building=1014 coastline=459 container=660 "
            "crossroads=553 dam=324 desert=1092 dry_farm=1309 forest=1082 green_farmland=644 "
            "highway=223 hirst=628 lakeshore=438 mangrove=1049 marina=366 mountain=812 "
            "parkinglot=467 pipeline=198 residents=810 river=539 river_protection_forest=524 "
            "sandbeach=536 sapling=879 sea=1028 shrubwood=1331 snow_mountain=1153 "
            "sparse_forest=1110 storage_room=1307 stream=688 town=335",
        ),
    ),
    Dataset(
        name="RSSCN7",
        task="single-label",
        images=2800,
        size="400",
        resolution="several scales",
        licence=_NOT_STATED,
        citation="Zou et al. 2015, IEEE GRSL 12(11), doi:10.1109/LGRS.2015.2475299",
        page="https://github.com/palewithout/RSSCN7",
        layout="<class>/<letter><nnn>.jpg",
        classes=_same(400, "grass field industry river_lake forest resident parking"),
    ),
    Dataset(
        name="UC Merced",
        task="single-label",
        images=2100,
        size="256",
        resolution="0.3",
        licence="public domain (USGS)",
        citation="Yang and Newsam 2010, ACM SIGSPATIAL, doi:10.1145/1869790.1869829",
        page="http://weegee.vision.ucmerced.edu/datasets/landuse.html",
        layout="Images/<class>/<class><nn>.tif",
        classes=_same(
            100,
            "agricultural airplane baseballdiamond beach buildings chaparral denseresidential "
            "forest freeway golfcourse harbor intersection mediumresidential mobilehomepark "
            "overpass parkinglot river runway sparseresidential storagetanks tenniscourt",
        ),
        tfds="uc_merced",
    ),
    Dataset(
        name="UC Merced multi-label",
        task="multi-label",
        images=2100,
        size="256",
        resolution="0.3",
        licence="public domain (USGS images)",
        citation="Chaudhuri et al. 2018, IEEE TGRS 56(2), doi:10.1109/TGRS.2017.2760909",
        page="https://bigearth.eu/datasets",
        layout="Images/<class>/<class><nn>.tif and a table of 17 labels",
        labels=_SEVENTEEN,
    ),
    Dataset(
        name="WHU-RS19",
        task="single-label",
        images=1005,
        size="600",
        resolution="up to 0.5",
        licence=_NOT_STATED,
        citation="Xia et al. 2010, ISPRS TC VII Symposium; Dai and Yang 2011, IEEE GRSL 8(1)",
        page="https://captain-whu.github.io/BED4RS/",
        layout="<Class>/<Class>_<nn>.jpg",
        classes=_counts(
            "Airport=55 Beach=50 Bridge=52 Commercial=56 Desert=50 Farmland=50 Forest=53 "
            "Industrial=53 Meadow=61 Mountain=50 Park=50 Parking=50 Pond=54 Port=53 "
            "Residential=54 River=56 Viaduct=58 footballField=50 railwayStation=50",
        ),
    ),
)
