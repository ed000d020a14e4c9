"""The words that sample places, tags and posts are put together from, in Korean and English."""

from __future__ import annotations


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """A Korean word and its English, several times over, with commas between."""
    split = [pair.strip().partition(" ") for pair in text.split(",")]
    return tuple((korean, english) for korean, _, english in split)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


DISTRICTS: tuple[tuple[str, str, float, float], ...] = (
    ("종로구", "Jongno", 126.9794, 37.5735),
    ("중구", "Jung", 126.9976, 37.5636),
    ("마포구", "Mapo", 126.9087, 37.5620),
    ("성동구", "Seongdong", 127.0410, 37.5506),
    ("용산구", "Yongsan", 126.9810, 37.5311),
    ("강남구", "Gangnam", 127.0473, 37.5172),
    ("서초구", "Seocho", 127.0324, 37.4837),
    ("송파구", "Songpa", 127.1059, 37.5145),
    ("영등포구", "Yeongdeungpo", 126.9064, 37.5264),
    ("서대문구", "Seodaemun", 126.9388, 37.5791),
    ("광진구", "Gwangjin", 127.0857, 37.5385),
    ("은평구", "Eunpyeong", 126.9270, 37.6177),
    ("성북구", "Seongbuk", 127.0182, 37.5894),
    ("강서구", "Gangseo", 126.8495, 37.5509),
    ("관악구", "Gwanak", 126.9516, 37.4784),
    ("동작구", "Dongjak", 126.9390, 37.5124),
    ("노원구", "Nowon", 127.0568, 37.6542),
    ("강동구", "Gangdong", 127.1238, 37.5301),
    ("양천구", "Yangcheon", 126.8664, 37.5170),
    ("구로구", "Guro", 126.8876, 37.4955),
    ("동대문구", "Dongdaemun", 127.0396, 37.5744),
    ("중랑구", "Jungnang", 127.0927, 37.6063),
    ("강북구", "Gangbuk", 127.0257, 37.6396),
    ("도봉구", "Dobong", 127.0471, 37.6688),
    ("금천구", "Geumcheon", 126.9020, 37.4568),
)
"""Name, English name, and about where its middle is; the first are the busiest."""

FIRST = _pairs("""
    푸른달 Blue Moon, 고요한 Quiet, 청운 Blue Cloud, 은하수 Milky Way, 달빛 Moonlight, 구름 Cloud,
    느린 Slow, 오월 May, 한옥 Hanok, 연남 Yeonnam, 골목 Alley, 북촌 Bukchon, 소나무 Pine, 노을 Sunset,
    새벽 Daybreak, 파란문 Blue Door, 돌담 Stone Wall, 은행나무 Ginkgo, 모퉁이 Corner,
    서울숲 Seoul Forest, 작은 Little, 오래된 Old, 초록 Green, 바람 Wind, 별빛 Starlight, 가을 Autumn,
    봄날 Spring Day, 언덕 Hill, 강변 Riverside, 햇살 Sunshine, 나무그늘 Tree Shade, 두번째 Second,
    빨간벽돌 Red Brick, 옥상 Rooftop, 안녕 Hello, 여름밤 Summer Night, 종이배 Paper Boat, 고양이 Cat,
    수요일 Wednesday
""")
"""What a name begins with."""

SECOND = _pairs("""
    정원 Garden, 다락 Attic, 마당 Yard, 창가 Window, 산책 Walk, 이야기 Story, 공방 Workshop, 하루 Day,
    서가 Shelf, 기억 Memory, 풍경 View, 계단 Stairs, 우물 Well, 등대 Lighthouse, 화실 Atelier,
    온실 Greenhouse, 방앗간 Mill, 정류장 Station, 나루 Ferry, 사랑방 Parlour, 모임 Gathering,
    찻잔 Teacup, 책상 Desk, 연못 Pond, 담장 Fence, 오후 Afternoon, 식탁 Table, 여행 Journey, 편지 Letter,
    그림 Picture
""")
"""What it goes on with."""

CATEGORIES: tuple[tuple[str, str, str], ...] = (
    ("cafe", "카페", "Cafe"),
    ("restaurant", "식당", "Kitchen"),
    ("bakery", "베이커리", "Bakery"),
    ("bar", "주점", "Bar"),
    ("gallery", "갤러리", "Gallery"),
    ("bookshop", "책방", "Books"),
    ("museum", "박물관", "Museum"),
    ("park", "공원", "Park"),
    ("market", "시장", "Market"),
    ("viewpoint", "전망대", "Viewpoint"),
    ("shop", "소품샵", "Shop"),
    ("tea_house", "찻집", "Tea House"),
)
"""places.category, and what a name ends with; the first are the most."""

MOODS = _pairs("""
    조용한 quiet, 활기찬 lively, 빈티지 vintage, 아늑한 cosy, 낭만적인 romantic, 현대적인 modern,
    자연스러운 natural, 힙한 hip, 전통적인 traditional, 가족적인 family, 혼자좋은 solo,
    사진찍기좋은 photogenic
""")
TIMES = _pairs("""
    아침 morning, 점심 noon, 오후 afternoon, 저녁 evening, 심야 late, 주말 weekend, 평일 weekday
""")
CONGESTION = _pairs("""
    한산함 empty, 보통 usual, 붐빔 crowded
""")
BUDGETS = _pairs("""
    무료 free, 저렴 low, 적당 medium, 고급 high
""")
SCENES = _words("""
    데이트 산책로 브런치 디저트 야경명소 공부하기 반려견동반 주차가능 루프탑 한강뷰 골목길 벚꽃길 단풍길
    전시회 라이브공연 수제맥주 핸드드립 채식메뉴 노키즈 단체모임
""")
"""What a finer tag is about, after a mood and a time."""

POST_KOREAN = _words("""
    분위기가 정말 좋아요 다시 오고 싶어요 조용해서 책을 읽기 좋았어요 커피가 맛있고 사장님이 친절해요
    주말에는 사람이 많아서 기다렸어요 창가 자리에서 노을을 봤어요 산책하다가 우연히 들렀는데 생각보다
    넓고 쾌적해요 디저트가 달지 않아서 부모님과 함께 가기 좋은 곳이에요 주차가 조금 어려워요
    지하철역에서 가까워요 강아지와 같이 갔어요 사진이 예쁘게 나와요 음악이 잔잔해요 가격이 적당하고 양이
    푸짐해요 골목 안쪽에 있어서 찾기 힘들었어요 단풍이 한창이에요 벚꽃이 떨어질 때가 제일 예뻐요 밤에는
    조명이 켜져서 낭만적이에요 아이들이 뛰어놀기 전시를 천천히 둘러봤어요 설명이 자세해서 재미있었어요
    비오는 날에 특히 운치있어요 친구에게 추천받아서 왔어요 메뉴가 다양해서 고민했어요 라떼가 고소해요
    빵이 금방 나와서 따뜻했어요 테라스에 앉으면 바람이 시원해요 화장실이 깨끗해요 다음에도 꼭
""")

POST_ENGLISH = _words("""
    lovely place to spend an afternoon the coffee was great and staff were friendly quiet corner with a
    view over river we waited twenty minutes but it worth perfect for reading crowded on weekends come
    early dessert not too sweet walls full of old posters hidden in alley behind market sunset from
    rooftop is stunning would return again cheap portions generous music soft kids loved garden close
    station hard find parking bring camera
""")

RARE = _words("""
    고양이카페 막걸리 달고나 약과 쑥라떼 자개장 은행나무길 재즈공연 필름카메라 도자기체험 makgeolli
    dalgona hanok calligraphy turntable espresso ceramics lantern gimbap
""")
"""Words that few posts have: what people search for."""
