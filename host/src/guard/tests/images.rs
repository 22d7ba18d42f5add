use proptest::prelude::*;

use super::*;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nrest";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0rest";
const LIMITS: ImageLimits = ImageLimits {
    count: 3,
    bytes: 64,
    total: 100,
};

fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn png(len: usize) -> String {
    base64(&[PNG, &[0; 64]].concat()[..len])
}

fn check(images: &[&str]) -> Result<Vec<GuardedImage>, String> {
    let images: Vec<String> = images.iter().map(|image| (*image).to_owned()).collect();
    check_images(&images, &LIMITS).map_err(|fault| fault.to_string())
}

fn refused(images: &[&str]) -> String {
    check(images).unwrap_err()
}

#[test]
fn decodes_and_judges_by_the_first_bytes() {
    let webp = b"RIFF\x10\0\0\0WEBPVP8 ";
    for (bytes, media_type, name) in [
        (PNG, MediaType::Png, "image/png"),
        (JPEG, MediaType::Jpeg, "image/jpeg"),
        (b"GIF87a", MediaType::Gif, "image/gif"),
        (b"GIF89a;", MediaType::Gif, "image/gif"),
        (webp, MediaType::WebP, "image/webp"),
    ] {
        let text = base64(bytes);
        let expected = vec![GuardedImage {
            media_type,
            bytes: Bytes::from_static(bytes),
        }];
        assert_eq!(check(&[&text]), Ok(expected.clone()));
        // What a data URL claims is not looked at.
        for head in ["data:image/gif;base64,", "DATA:,", "data:nonsense;,"] {
            assert_eq!(check(&[&format!("{head}{text}")]), Ok(expected.clone()));
        }
        assert_eq!(media_type.as_str(), name);
    }
    assert_eq!(check(&[]), Ok(Vec::new()));
}

#[test]
fn first_faults_of_an_earlier_kind_win() {
    let text = base64(b"just text");
    let large = png(65);
    assert_eq!(
        refused(&[&large, "?", &text, ""]),
        "Too many images (4). Max 3 allowed."
    );
    assert_eq!(refused(&[&text, "?", &large]), "Image exceeds 0 MB limit.");
    assert_eq!(
        refused(&[&text, &png(64), "?"]),
        "Image 3 is not valid base64."
    );
    assert_eq!(
        refused(&[&png(64), &png(64), &text]),
        "Image 3 is not PNG, JPEG, GIF or WebP."
    );
    assert_eq!(
        refused(&[&png(50), &png(51)]),
        "Images exceed 0 MB in total."
    );
    assert!(check(&[&png(50), &png(50)]).is_ok());
}

#[test]
fn limits_are_of_decoded_bytes() {
    const MIB: usize = 1 << 20;
    let limits = ImageLimits {
        count: 10,
        bytes: 5 * MIB,
        total: 8 * MIB,
    };
    let image = |len: usize| {
        let mut bytes = PNG.to_vec();
        bytes.resize(len, 7);
        base64(&bytes)
    };
    for more in 1..=3 {
        let fault = check_images(&[image(5 * MIB + more)], &limits).unwrap_err();
        assert_eq!(fault.to_string(), "Image exceeds 5 MB limit.");
        assert_eq!(fault.code(), ErrorCode::ImageTooLarge);
    }
    let whole = image(5 * MIB);
    assert!(check_images(std::slice::from_ref(&whole), &limits).is_ok());
    let rest = image(3 * MIB);
    assert!(check_images(&[whole.clone(), rest.clone()], &limits).is_ok());
    let fault = check_images(&[whole, rest, image(12)], &limits).unwrap_err();
    assert_eq!(fault.to_string(), "Images exceed 8 MB in total.");
}

#[test]
fn base64_is_the_standard_one() {
    let good = base64(&[PNG, b"\xff\xfb"].concat());
    assert!(good.ends_with("//s="), "{good}");
    assert!(check(&[&good]).is_ok());
    // `B` has a bit too many for one byte, which is ignored, as most decoders do.
    assert!(check(&["R0lGODlhAB=="]).is_ok());
    for bad in [
        "%%%",
        "R0lGODlhAA",
        "R0lGODlhAA=",
        "R0lGODlhAA===",
        "R0lG ODlh",
        "R0lGODlh\n",
        "R0lG=ODlh",
        "R0lGODlhé",
        "iVBORw0KGgpyZXN0__s=",
        "iVBORw0KGgpyZXN0//s",
        "data:image/png;base64",
        "data:image/png;base64,R0lGODlh,",
        "image/png;base64,R0lGODlh",
    ] {
        assert_eq!(refused(&[bad]), "Image 1 is not valid base64.", "{bad}");
    }
    assert_eq!(refused(&[""]), "Image 1 is not PNG, JPEG, GIF or WebP.");
    assert_eq!(
        refused(&["data:,"]),
        "Image 1 is not PNG, JPEG, GIF or WebP."
    );
}

#[test]
fn a_cut_signature_is_no_type() {
    for whole in [&PNG[..8], &JPEG[..3], b"GIF89a", b"RIFF\0\0\0\0WEBP"] {
        assert!(MediaType::of(whole).is_some());
        assert_eq!(MediaType::of(&whole[..whole.len() - 1]), None);
    }
}

fn any_image() -> impl Strategy<Value = String> {
    let signature = prop_oneof![Just(PNG), Just(JPEG), Just(&b"GIF89a"[..]), Just(&b""[..])];
    let bytes = (signature, prop::collection::vec(any::<u8>(), 0..80))
        .prop_map(|(signature, rest)| base64(&[signature, &rest].concat()));
    let image = prop_oneof![8 => bytes, 1 => any::<String>(), 1 => "[A-Za-z0-9+/]{0,90}={0,3}"];
    ("(|data:[a-z/;]{0,9},)", image).prop_map(|(head, image)| head + &image)
}

proptest! {
    #[test]
    fn the_length_is_known_before_decoding(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
        prop_assert_eq!(decoded_len(&base64(&bytes)), bytes.len());
    }

    #[test]
    fn what_passes_keeps_to_the_limits(
        images in prop::collection::vec(any_image(), 0..5),
        count in 0_usize..5,
        bytes in 0_usize..90,
        total in 0_usize..200,
    ) {
        let limits = ImageLimits { count, bytes, total };
        match check_images(&images, &limits) {
            Ok(passed) => {
                prop_assert!(passed.len() == images.len() && passed.len() <= count);
                prop_assert!(passed.iter().all(|image| image.bytes.len() <= bytes));
                prop_assert!(passed.iter().map(|image| image.bytes.len()).sum::<usize>() <= total);
                for (passed, image) in passed.iter().zip(&images) {
                    prop_assert_eq!(MediaType::of(&passed.bytes), Some(passed.media_type));
                    prop_assert_eq!(
                        base64(&passed.bytes).trim_end_matches('=').len(),
                        image.rsplit(',').next().unwrap().trim_end_matches('=').len()
                    );
                }
            }
            Err(ImageFault::TooMany { count: given, max }) => {
                prop_assert!(given > count && given == images.len() && max == count);
            }
            Err(ImageFault::NotBase64 { number } | ImageFault::WrongType { number }) => {
                prop_assert!((1..=images.len()).contains(&number) && images.len() <= count);
            }
            Err(ImageFault::TooLarge { max }) => prop_assert!(max == bytes && images.len() <= count),
            Err(ImageFault::TotalTooLarge { max }) => prop_assert!(max == total && images.len() <= count),
        }
    }
}
