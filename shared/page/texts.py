"""Every text of the page in English and Korean; Gradio has its own of its buttons.

The browser chooses the language: it translates labels itself (`gr.I18n`), and sends its languages with every request.
"""

from collections.abc import Mapping

ENGLISH = {
    "title": "Mask, gender, age",
    "introduction": "of every face in a photograph. Estimates from looks: often wrong, more often for some groups "
    "than for others, and no basis for decisions about people.",
    "photographs": "Photographs",
    "camera": "Live camera",
    "choose": "Drop photographs here or choose them",
    "examples": "Or try drawn faces",
    "threshold": "Show predictions below this probability as unsure",
    "drawn": "Faces found",
    "table": "All faces: choose a row for its probabilities",
    "face_number": "Face",
    "mask": "Mask",
    "gender": "Gender",
    "band": "Age band",
    "age": "Age",
    "interval": "Age (80 %)",
    "class": "Class",
    "photograph": "Photograph",
    "worn": "mask worn",
    "incorrect": "mask worn wrongly",
    "none": "no mask",
    "male": "male",
    "female": "female",
    "<30": "under 30",
    "30-59": "30 to 59",
    ">=60": "60 or older",
    "unsure": "unsure",
    "headline": "Face {number} of {name}",
    "crop": "Face",
    "heat": "Where the networks looked",
    "heat_hint": "Bright places speak for the prediction. Grad-CAM, for each specialist.",
    "download_images": "Annotated images (ZIP)",
    "download_csv": "CSV",
    "download_json": "JSON",
    "camera_hint": "Press record; the predictions are drawn on the camera's image. No image is saved.",
    "model": "Model",
    "card": "Model card",
    "footnote": "Photographs stay on the machine that serves this page and are deleted after ten minutes.",
    "found": "Faces: {faces}. Photographs: {photographs}.",
    "no_face": "{name}: no face was found. One that is larger, brighter or seen from the front may be.",
    "turned": "{name} was turned by {degrees} degrees, because its face is clearer that way.",
    "small": "{name}: faces {faces} are less than {pixels} pixels wide, and their predictions unreliable.",
    "part_missing": "{name}: a part of the image is missing.",
    "empty file": "{name} is empty.",
    "not an image": "{name} is not an image that the page reads. JPEG, PNG and WebP are fine.",
    "truncated": "{name} is incomplete, perhaps cut off while it was sent or saved.",
    "no_reader": "The page cannot read {problem}. Please save {name} as JPEG.",
    "unusable": "{name} cannot be used: {problem}.",
    "too_many": "At most {most} photographs at once: the first {most} were used.",
    "failed": "The page failed on {name}.",
    "gone": "These photographs were deleted after ten minutes. Please choose them again.",
}

KOREAN = {
    "title": "마스크, 성별, 나이",
    "introduction": "사진 속 모든 얼굴을 예측합니다. 겉모습만 보고 추정하므로 자주 틀리고, 특정 집단에서는 더 자주 "
    "틀립니다. 사람에 대한 판단의 근거로 쓰지 마세요.",
    "photographs": "사진",
    "camera": "실시간 카메라",
    "choose": "사진을 끌어다 놓거나 선택하세요",
    "examples": "또는 그려진 얼굴로 시험해 보세요",
    "threshold": "확률이 이 값보다 낮으면 '불확실'로 표시",
    "drawn": "찾은 얼굴",
    "table": "모든 얼굴: 행을 선택하면 확률을 볼 수 있습니다",
    "face_number": "얼굴",
    "mask": "마스크",
    "gender": "성별",
    "band": "연령대",
    "age": "나이",
    "interval": "나이 (80 %)",
    "class": "클래스",
    "photograph": "사진",
    "worn": "착용",
    "incorrect": "잘못 착용",
    "none": "미착용",
    "male": "남성",
    "female": "여성",
    "<30": "30세 미만",
    "30-59": "30~59세",
    ">=60": "60세 이상",
    "unsure": "불확실",
    "headline": "{name}의 얼굴 {number}",
    "crop": "얼굴",
    "heat": "네트워크가 본 곳",
    "heat_hint": "밝은 곳이 예측의 근거입니다. 모델별 Grad-CAM입니다.",
    "download_images": "표시된 이미지 (ZIP)",
    "download_csv": "CSV",
    "download_json": "JSON",
    "camera_hint": "녹화 버튼을 누르면 카메라 영상 위에 예측을 표시합니다. 영상은 저장하지 않습니다.",
    "model": "모델",
    "card": "모델 카드",
    "footnote": "사진은 이 페이지를 제공하는 컴퓨터를 벗어나지 않으며, 10분 뒤에 삭제됩니다.",
    "found": "얼굴 {faces}개, 사진 {photographs}장.",
    "no_face": "{name}: 얼굴을 찾지 못했습니다. 더 크고 밝은 정면 얼굴 사진을 써 보세요.",
    "turned": "{name}: 얼굴이 더 뚜렷하게 보이도록 {degrees}도 돌렸습니다.",
    "small": "{name}: 얼굴 {faces}의 너비가 {pixels}픽셀보다 작아 예측을 믿기 어렵습니다.",
    "part_missing": "{name}: 이미지의 일부가 없습니다.",
    "empty file": "{name}: 빈 파일입니다.",
    "not an image": "{name}: 읽을 수 있는 이미지가 아닙니다. JPEG, PNG, WebP를 사용하세요.",
    "truncated": "{name}: 파일이 불완전합니다. 전송하거나 저장할 때 잘렸을 수 있습니다.",
    "no_reader": "{problem} 형식은 읽을 수 없습니다. {name}을(를) JPEG로 저장해 주세요.",
    "unusable": "{name}: 사용할 수 없습니다({problem}).",
    "too_many": "한 번에 {most}장까지 처리합니다. 앞의 {most}장만 사용했습니다.",
    "failed": "{name}: 처리하지 못했습니다.",
    "gone": "10분이 지나 사진을 삭제했습니다. 다시 선택해 주세요.",
}

TEXTS: Mapping[str, Mapping[str, str]] = {"en": ENGLISH, "ko": KOREAN}


def texts_for(accept_language: str) -> Mapping[str, str]:
    """Return the texts in the first language of an Accept-Language header; English if that is another one.

    >>> texts_for("ko-KR,ko;q=0.9,en;q=0.8")["male"], texts_for("de")["male"]
    ('남성', 'male')
    """
    return TEXTS.get(accept_language[:2].lower(), ENGLISH)
